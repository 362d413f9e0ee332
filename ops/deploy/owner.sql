-- Run once, by the image of PostgreSQL as its superuser, when a cluster is made: Landfall's owner, who is none.
\getenv password POSTGRES_PASSWORD
CREATE ROLE landfall LOGIN CREATEROLE PASSWORD :'password';
ALTER DATABASE landfall OWNER TO landfall;
ALTER ROLE postgres PASSWORD NULL;

"""HTTP: `pages` for people in browsers, `api` for programs, and what both share. `app` puts the routes together."""

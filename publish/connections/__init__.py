"""Connected accounts: access tokens, refreshing, disconnecting."""

"""The ground floor: the words every stage shares. Decides nothing, opens nothing."""

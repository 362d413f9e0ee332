"""HTTP of connections and people: JSON for programs, pages for browsers."""

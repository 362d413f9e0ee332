"""HTTP of people and programs: pages for browsers, JSON for programs."""

"""Files to be posted: uploads, what is found in them, where they are kept, and how platforms fetch them."""

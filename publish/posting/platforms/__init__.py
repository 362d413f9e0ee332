"""What is about the posts of one platform; each module without an underscore defines ``PLATFORM``.

Others begin with an underscore and are what those are made of: machines, rules of preflight, and errors.
"""

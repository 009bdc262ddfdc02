"""Parts for attnlab that live in a package of their own."""

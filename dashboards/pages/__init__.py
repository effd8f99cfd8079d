"""Pages and their parts, made of pictures and widgets."""

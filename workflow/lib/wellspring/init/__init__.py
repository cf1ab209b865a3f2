"""Set up a screen from folders of images or tables: recognise what is there, and write `config/` for it."""

"""What the classes of the demo world sound like: building blocks of sound, and the sounds by subject."""

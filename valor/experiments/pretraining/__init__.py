"""What clips without tags are worth, beside few tags and beside all of them."""

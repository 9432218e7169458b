"""Events out to annotation tools and back: from anything that holds some, and into the corrections of the viewer."""

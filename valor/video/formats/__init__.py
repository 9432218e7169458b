"""Events of parses in the formats of other tools; `formats.FORMATS` names them all."""

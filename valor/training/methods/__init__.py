"""Methods of training beyond VALOR's own, one file each, made on the seam `method.py`."""

"""Features and labels of others: downloads, archives, per-clip files, HDF5, and the packed store made of them."""

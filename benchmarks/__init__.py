"""The benchmark command line ``memory-bench``. It needs the extra ``bench``; importing this package alone does not."""

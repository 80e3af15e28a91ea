"""What segbench's smaller commands do, one file each."""

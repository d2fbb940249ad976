"""The only writer of golden/: runs the gist, and stores what its functions pass along."""

"""Networks of other programs: read into threshold layers, compared with their files; and out."""

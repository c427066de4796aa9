"""One clip, from its frames to its dynamic images; knows no sheet, data set, Ray or network."""

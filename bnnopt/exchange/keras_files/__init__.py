"""Files of Keras and Larq, without Keras."""

"""`senet-export`: a run as one file that needs none of our code, and says what the run says."""

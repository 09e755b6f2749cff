COMPLETE=fish hyperzoom | source

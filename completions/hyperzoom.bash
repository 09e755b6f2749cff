eval "$(COMPLETE=bash hyperzoom)"

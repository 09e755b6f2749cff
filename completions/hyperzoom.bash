source <(COMPLETE=bash hyperzoom)

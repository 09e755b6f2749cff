eval (E:COMPLETE=elvish hyperzoom | slurp)

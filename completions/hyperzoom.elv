eval ({ tmp E:COMPLETE = elvish; hyperzoom } | slurp)

$env:COMPLETE = "powershell"; hyperzoom | Out-String | Invoke-Expression
Remove-Item Env:\COMPLETE

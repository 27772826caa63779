@echo off
rem run [ARGUMENTS]: sets everything up on first use, then is `impasto ARGUMENTS`. See run.ps1.
powershell -NoLogo -NoProfile -ExecutionPolicy Bypass -File "%~dp0run.ps1" %*
exit /b %ERRORLEVEL%

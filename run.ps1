# .\run.ps1 [ARGUMENTS]: sets everything up on first use, then is `impasto ARGUMENTS`. For Windows;
# ./run does the same on Linux and macOS. Works with Windows PowerShell 5.1 and later.
# Without arguments it paints one of the pictures that came with it.

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2

$root = $PSScriptRoot
$venv = Join-Path $root '.venv'
$python = Join-Path $venv 'Scripts\python.exe'
$impasto = Join-Path $venv 'Scripts\impasto.exe'
# It records the inputs of the finished set-up.
$stamp = Join-Path $venv 'set-up-done'

function Write-Note([string] $text) {
    [Console]::Error.WriteLine("run: $text")
}

function Stop-Run([string] $text) {
    Write-Note $text
    exit 1
}

function Get-Inputs {
    $hashes = foreach ($name in 'constraints.txt', 'pyproject.toml') {
        (Get-FileHash -LiteralPath (Join-Path $root $name)).Hash
    }
    ($hashes + $root) -join ' '
}

function Test-SetUp {
    if (-not ((Test-Path -LiteralPath $impasto) -and (Test-Path -LiteralPath $stamp))) {
        return $false
    }
    (Get-Content -LiteralPath $stamp -Raw).Trim() -eq (Get-Inputs)
}

# Finds a Python that is new enough: the launcher `py` first, because a plain `python` may be the
# link to Microsoft's store.
function Find-Python {
    foreach ($candidate in @('py', '-3'), @('python'), @('python3')) {
        $command, $words = $candidate
        if (-not (Get-Command $command -ErrorAction SilentlyContinue)) {
            continue
        }
        $test = 'import sys, venv; sys.exit(sys.version_info < (3, 10))'
        try {
            & $command @($words | Where-Object { $_ }) -c $test 2>$null
        }
        catch {
            continue
        }
        if ($LASTEXITCODE -eq 0) {
            return , @($candidate)
        }
    }
    Stop-Run 'Python 3.10 or newer is needed; install one from python.org, or with: winget install Python.Python.3.12'
}

function Install-Package {
    $command, $words = Find-Python
    Write-Note 'setting up .venv, this once: it takes some minutes'
    # Without the stamp, an interrupted set-up begins again.
    Remove-Item -LiteralPath $stamp -Force -ErrorAction SilentlyContinue
    if (-not (Test-Path -LiteralPath $python)) {
        & $command @($words | Where-Object { $_ }) -m venv --clear $venv
        if ($LASTEXITCODE -ne 0) {
            Stop-Run "could not make $venv (see above); the next start tries again"
        }
    }
    # In the folder itself, because pip would read brackets in a path as extras.
    Push-Location -LiteralPath $root
    try {
        & $python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[notebook,studio,video]'
        $installed = $LASTEXITCODE -eq 0
    }
    finally {
        Pop-Location
    }
    if (-not $installed) {
        Stop-Run 'could not install what impasto needs (see above); the next start tries again'
    }
    & $impasto weights fetch vgg16
    if ($LASTEXITCODE -ne 0) {
        Write-Note "could not fetch the network's weights (see above); impasto tries again when it needs them"
    }
    Set-Content -LiteralPath $stamp -Value (Get-Inputs) -Encoding utf8
}

if (-not (Test-SetUp)) {
    Install-Package
}

$words = $args
if ($words.Count -eq 0) {
    $result = Join-Path $root 'img\results\chelsea_nocturne.jpg'
    Write-Note "painting $result"
    $content = Join-Path $root 'img\content\chelsea.jpg'
    $style = Join-Path $root 'img\style\nocturne.jpg'
    $words = @('transfer', $content, $style, '-o', $result)
}
& $impasto @words
exit $LASTEXITCODE

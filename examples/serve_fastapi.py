"""FastAPI: two uploads in, a PNG out.

pip install fastapi python-multipart uvicorn
uvicorn serve_fastapi:app --app-dir examples
"""

from typing import Any

from fastapi import FastAPI, HTTPException, Response, UploadFile

import impasto

app = FastAPI()
OPTIONS: dict[str, Any] = {"size": 256, "preset": "fast"}


@app.post("/paint")
def paint(photograph: UploadFile, painting: UploadFile) -> Response:
    """Paint; FastAPI runs this in a thread, because it is no coroutine."""
    try:
        result = impasto.style_transfer(photograph, painting, **OPTIONS)
    except impasto.ImageError as error:
        raise HTTPException(422, str(error)) from error
    return Response(result.encode("painted.png"), media_type="image/png")

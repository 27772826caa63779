"""The studio: paint in the browser, watch it happen, steer it.

    browser  <-- HTTP, server-sent events -->  server  <-- a pipe -->  worker, one per device

The server stays responsive and loads no torch. Uploads are decoded in separate processes, and the
worker computes. The HTTP interface calls a worker a painter.
"""

"""The studio: paint in the browser, watch it happen, steer it.

    browser  <-- HTTP, server-sent events -->  server  <-- a pipe -->  painter, one per device

The server stays responsive and loads no torch: pictures are decoded in processes of their own,
and what computes is the painter.
"""

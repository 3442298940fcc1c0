"""Data, requests and checks for the tests of the page of local Vectorize."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import requests

from airflow_provider_vectorize.local.handle import LocalVectorize

VECTORS, DIMENSIONS = 20_000, 256
NAMESPACES = ("guides", "reference", "blog", "forum", "changelog", "support")
#: JavaScript that returns texts whose contrast with their background is below 4.5, the minimum of WCAG 2.2 AA.
LOW_CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (color) => rgba(color).slice(0, 3)
        .map((value) => value / 255).map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, channel) => sum + value * [0.2126, 0.7152, 0.0722][channel], 0);
    const background = (element) => {
        for (; element; element = element.parentElement) {
            const color = getComputedStyle(element).backgroundColor;
            if (rgba(color)[3] === 255) return color;
        }
        return 'white';
    };
    const low = [];
    for (const element of document.body.querySelectorAll('*')) {
        const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
        if (!text.length || !element.checkVisibility()) continue;
        const shades = [getComputedStyle(element).color, background(element)].map(luminance).sort((a, b) => b - a);
        if ((shades[0] + 0.05) / (shades[1] + 0.05) < 4.5) low.push(element.textContent.trim());
    }
    return low;
}"""
#: JavaScript that returns the controls of the page that have no name for a screen reader.
UNNAMED = """() => [...document.querySelectorAll('button, input, select, [role=region], [role=img], meter')]
    .filter((element) => element.ariaHidden !== 'true')
    .filter((element) => !(element.labels?.length || element.textContent.trim() || element.ariaLabel
        || element.getAttribute('aria-labelledby')?.split(' ').every((id) => document.getElementById(id)?.textContent)))
    .map((element) => element.outerHTML)"""

#: JavaScript that returns the first point of a path, in pixels of the page.
FIRST_POINT = """(path) => {
    const point = path.getPointAtLength(0).matrixTransform(path.getScreenCTM());
    return [point.x, point.y];
}"""
#: JavaScript that sends a request and waits for the response.
LAST_REQUEST = "() => fetch('/__local__/faults').then((response) => response.text())"


def api(local: LocalVectorize, path: str, **options: Any) -> requests.Response:
    url = f"{local.base_url}/accounts/{local.account_id}/vectorize/v2/indexes{path}"
    headers = {"Authorization": f"Bearer {local.token}", **options.pop("headers", {})}
    return requests.post(url, headers=headers, timeout=60, **options)


def upsert(local: LocalVectorize, index: str, *vectors: dict[str, Any]) -> None:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    body = b"".join(orjson.dumps(vector, option=options) for vector in vectors)
    api(local, f"/{index}/upsert", data=body, headers={"Content-Type": "application/x-ndjson"}).raise_for_status()


def create(local: LocalVectorize, name: str, dimensions: int = 32) -> None:
    config = {"dimensions": dimensions, "metric": "cosine"}
    api(local, "", json={"name": name, "config": config}).raise_for_status()


def documentation_vectors() -> list[dict[str, Any]]:
    """Return vectors in one cluster for each namespace, of which some overlap."""
    generator = np.random.default_rng(5)
    centers = generator.standard_normal((len(NAMESPACES), DIMENSIONS))
    spread = generator.standard_normal((len(NAMESPACES), 3, DIMENSIONS)) * 0.45
    chosen = generator.choice(len(NAMESPACES), VECTORS, p=[0.3, 0.25, 0.15, 0.15, 0.1, 0.05])
    noise = generator.standard_normal((VECTORS, DIMENSIONS)) * 0.35
    place = np.einsum("ij,ijk->ik", generator.standard_normal((VECTORS, 3)), spread[chosen])
    values = (centers[chosen] + place + noise).astype(np.float32)
    return [
        {
            "id": f"{NAMESPACES[cluster]}-{number:05}",
            "values": row,
            "namespace": NAMESPACES[cluster],
            "metadata": {"year": 2016 + number % 11, "title": f"Page {number}"},
        }
        for number, (cluster, row) in enumerate(zip(chosen, values, strict=True))
    ]

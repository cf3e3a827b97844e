"""Excel files without a library that writes them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path


def workbook(path: Path, rows: list[list[object]], names: Sequence[str] = ("a",)) -> Path:
    """Write the smallest Excel file that holds the rows: numbers, and text; in each sheet of those `names`."""
    cells = [
        [
            f'<c t="inlineStr"><is><t>{cell}</t></is></c>' if isinstance(cell, str) else f"<c><v>{cell}</v></c>"
            for cell in row
        ]
        for row in rows
    ]
    sheets = "".join(f'<sheet name="{name}" sheetId="{at}" r:id="rId1"/>' for at, name in enumerate(names, 1))
    sheet = "".join(f"<row>{''.join(row)}</row>" for row in cells)
    main, office = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org/"
    related = f"{office}officeDocument/2006/relationships"
    kinds, package = "application/vnd.openxmlformats-officedocument.spreadsheetml", f"{office}package/2006/"

    def relation(kind: str, target: str) -> str:
        one = f'<Relationship Id="rId1" Type="{related}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{package}relationships">{one}</Relationships>'

    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}content-types"><Default Extension="rels" ContentType="'
        'application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="'
        f'{kinds}.sheet.main+xml"/><Override PartName="/xl/sheet.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{related}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relation("worksheet", "sheet.xml"),
        "xl/sheet.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w") as file:
        for name, text in parts.items():
            file.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return path

"""A small folder in Twitter-GMNER's layout: three tweets, of which one has a groundable entity."""

from pathlib import Path


TEXT = """IMGID:O_1
RT\tO
Lena\tB-PER
Okoye\tI-PER
&amp\tO
Lena\tB-PER
Okoye\tI-PER
love\tO
Brno\tB-LOC
🎤\tO

IMGID:77
Brno\tB-LOC

IMGID:16_05_1
so\tO
true\tO
"""
XML = """<annotation><size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>Lena Okoye</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
<object><name>Lena Okoye</name><bndbox><xmin>50</xmin><ymin>2</ymin><xmax>100</xmax><ymax>80</ymax></bndbox></object>
</annotation>"""
LENA = ((1.0, 2.0, 30.0, 40.0), (50.0, 2.0, 100.0, 80.0))


def write(root: Path, files: dict[str, str]) -> Path:
    """Write text files under `root`, by their paths in it."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root

"""Draw a synthetic interferogram with all that is known of it: docs/interferogram.jpg, as the README shows it."""

from pathlib import Path

import cv2

from heph_dagster.hephaestus.crops import crops_of
from heph_dagster.hephaestus.pictures import draw_annotation
from heph_dagster.hephaestus.synthetic.interferogram import synthesize
from heph_dagster.hephaestus.synthetic.invention import invent
from heph_dagster.hephaestus.synthetic.scene import scenes

UNIQUE_ID, WIDTH, QUALITY = 285, 1000, 60

annotations = invent(300, seed=0)
annotation = annotations[UNIQUE_ID - 1]
made = synthesize(annotation, scenes(annotations, seed=0)[annotation.frame])
crops = list(crops_of(annotation, made.picture, made.coherence, seed=0))
drawn = draw_annotation(annotation, made.picture, made.coherence, crops)
small = cv2.resize(drawn, (WIDTH, round(WIDTH * drawn.shape[0] / drawn.shape[1])), interpolation=cv2.INTER_AREA)
cv2.imwrite(
    str(Path("docs/interferogram.jpg")),
    cv2.cvtColor(small, cv2.COLOR_RGB2BGR),
    [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
)

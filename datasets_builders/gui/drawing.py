"""A simulated outcome: the action drawn on the screenshot, for data without outcome pages (paper, Auto-UI)."""

from PIL import ImageDraw

from setaria.datasets_builders.gui.mobile3m_actions import swipe_ends
from setaria.datasets_builders.gui.pages import Page
from setaria.rewards.boxes import center, clip
from setaria.rewards.gui.actions import Action, Click, Input, LongPress, Scroll


COLOUR = "#ff00ff"


def draw_action(page: Page, action: Action) -> Page:
    """The page with a frame and a dot where it is touched, a line for a swipe, the text that is typed."""
    image = page.image.copy()
    pen = ImageDraw.Draw(image)
    width = max(2, image.width // 90)
    if isinstance(action, Scroll):
        x1, y1, x2, y2 = swipe_ends(clip(action.box, page.size), action.direction)
        pen.line((x1, y1, x2, y2), COLOUR, width)
        pen.circle((x2, y2), 2 * width, COLOUR)
    elif isinstance(action, Click | LongPress | Input):
        box = clip(action.box, page.size)
        pen.rectangle(box, outline=COLOUR, width=width)
        pen.circle(center(box), 2 * width, COLOUR)
        if isinstance(action, Input):
            pen.text((box[0] + width, box[1] + width), action.value, COLOUR, font_size=6 * width)
    return Page(f"{page.id} simulated", image, page.xml)

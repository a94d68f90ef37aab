# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of Qt itself that our windows show: buttons, menus of fields, the file dialog.

Qt's own translations are a package that a computer need not have (and dom0 does not).
"""

from __future__ import annotations

from collections.abc import Mapping

QT_TEXTS: Mapping[str, tuple[str, ...]] = {
    "QAbstractSpinBox": ("&Select All", "&Step up", "Step &down"),
    "QFileDialog": (
        "%1 already exists.\nDo you want to replace it?",
        "%1\nDirectory not found.\nPlease verify the correct directory name was given.",
        "&Delete",
        "&New Folder",
        "&Open",
        "&Rename",
        "&Save",
        "All Files (*)",
        "Back",
        "Change to detail view mode",
        "Change to list view mode",
        "Create New Folder",
        "Create a New Folder",
        "Detail View",
        "File &name:",
        "Files",
        "Files of type:",
        "Forward",
        "Go back",
        "Go forward",
        "Go to the parent directory",
        "List View",
        "List of places and bookmarks",
        "Look in:",
        "Open",
        "Parent Directory",
        "Save As",
        "Show ",
        "Show &hidden files",
        "Sidebar",
    ),
    "QFileSystemModel": ("Computer", "Date Modified", "Name", "Size", "Type"),
    "QLineEdit": (
        "&Copy",
        "&Paste",
        "&Redo",
        "&Undo",
        "Cu&t",
        "Delete",
        "Select All",
    ),
    "QPlatformTheme": (
        "&No",
        "&Yes",
        "Apply",
        "Cancel",
        "Close",
        "Discard",
        "OK",
        "Open",
        "Save",
    ),
    "QScrollBar": (
        "Bottom",
        "Left edge",
        "Page down",
        "Page left",
        "Page right",
        "Page up",
        "Right edge",
        "Scroll down",
        "Scroll here",
        "Scroll left",
        "Scroll right",
        "Scroll up",
        "Top",
    ),
    "QShortcut": ("Ctrl", "Del"),
    "QTabBar": ("Scroll Left", "Scroll Right"),
    "QWidgetTextControl": ("&Copy", "Copy &Link Location", "Select All"),
}
"""By the context that they have there."""

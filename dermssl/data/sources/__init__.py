"""Images that are not files of their own: archives, tables of images, arrays, data sets of other libraries."""

"""Where data are kept: a folder, or a bucket of an object store of which parts are copied here to be worked on."""

"""The second training's data: the distilled student writes about itself and talks to itself."""

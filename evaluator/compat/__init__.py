"""Other packages' interfaces, with our numbers behind them: pycocotools."""

"""From files to batches: records (who are the images), cache (decode once), loader, augmentation, folds."""

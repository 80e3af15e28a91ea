"""The folders of nnU-Net and of the Medical Segmentation Decathlon, read as one data set."""

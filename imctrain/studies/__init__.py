"""What is asked of a run or of a config, and trains nothing: inspect, record, SNR of the mappings."""

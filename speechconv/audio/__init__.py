"""Sound on its way in: files and pipes -> blocks of one channel of float32 at the pipeline's sample rate.

    error      AudioError: what is wrong with a sound, and at which stage it showed
    pcm        how samples are stored: bytes -> float32
    riff       the header of a WAV file or stream
    pipe       PcmReader: samples of a pipe as they arrive, WAV or raw
    files      AudioFile: wav, flac, ogg and mp3 in blocks of fixed size
    waveform   Waveform: channel choice, resampling, and a check for NaN

A source is anything with `sample_rate`, `channels` and `blocks()`; `AudioFile` and `PcmReader` are two.
"""

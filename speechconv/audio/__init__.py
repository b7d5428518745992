"""Sound on its way in: files and pipes -> blocks of one channel of float32 at the pipeline's sample rate.

    error      AudioError: what is wrong with a sound, and at which stage it showed
    pcm        how samples are stored: bytes -> float32
    plausible  what a header may claim
    segment    which samples a part of a sound is
    riff       the header of a WAV file or stream
    pipe       PcmReader: samples of a pipe as they arrive, WAV or raw
    wav_file   plain samples of a WAV file
    sndfile    all other files, through libsndfile
    files      AudioFile: a file or a segment of it in blocks of fixed size
    command    AudioCommand: what a shell command writes
    waveform   Waveform: channel choice, resampling, loudness, and a check for NaN

A source is anything with `sample_rate`, `channels` and `blocks()`: `AudioFile`, `AudioCommand`, `PcmReader`.
"""

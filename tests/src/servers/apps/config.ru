# An application for Rack servers, with faults that are asked for by path.
require 'socket'
require 'net/http'

UPSTREAM = { '/call' => 7200, '/refused' => 7201, '/silent' => 7202, '/hang' => 7203 }.freeze

# Computes for so long by the thread's own clock, however often it is interrupted.
def spin(ms)
  clock = Process::CLOCK_THREAD_CPUTIME_ID
  end_at = Process.clock_gettime(clock) + ms / 1000.0
  nil while Process.clock_gettime(clock) < end_at
end

# One request to an upstream; the status it ends with for the client.
def call(path, ms)
  limit = path == '/call' ? 10 : 0.5
  Net::HTTP.start('127.0.0.1', UPSTREAM[path], open_timeout: limit, read_timeout: limit, max_retries: 0) do |upstream|
    upstream.get("/sleep?ms=#{ms}")
  end
  200
rescue SystemCallError, Net::OpenTimeout, Net::ReadTimeout
  502
end

# The pieces of a stream.
class Pieces
  def initialize(count, ms)
    @count = count
    @ms = ms
  end

  def each
    yield '.'
    @count.times do
      sleep @ms / 1000.0
      yield '.'
    end
  end
end

run(lambda do |env|
  begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  path = env['PATH_INFO']
  value = URI.decode_www_form(env['QUERY_STRING']).to_h.transform_values(&:to_i)
  status = 200
  body = 'ok'
  case path
  when '/compute' then spin(value['ms'])
  when '/sleep' then sleep(value['ms'] / 1000.0)
  when *UPSTREAM.keys then status = call(path, value['ms'] || 0)
  when '/big' then body = 'x' * value['bytes']
  when '/stream' then next [200, {}, Pieces.new(value['n'], value['ms'])]
  end
  took = ((Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun) * 1_000_000).to_i
  [status, { 'Content-Length' => body.bytesize.to_s, 'X-Took' => took.to_s }, [body]]
end)

// A server on Node with faults that are asked for by path. serve.js PORT IDLE_SECONDS
const http = require('http')

const UPSTREAM = { '/call': 7200, '/refused': 7201, '/silent': 7202, '/hang': 7203 }

// Computes for so long by the process's own clock, however often it is interrupted.
function spin(ms) {
  const begun = process.cpuUsage()
  let used
  do { used = process.cpuUsage(begun) } while (used.user + used.system < ms * 1000)
}

function call(path, ms, done) {
  const upstream = http.get({ host: '127.0.0.1', port: UPSTREAM[path], path: `/sleep?ms=${ms}`, agent: false }, answer => {
    answer.resume()
    answer.on('end', () => done(200))
  })
  upstream.on('error', () => done(502))
  upstream.setTimeout(path === '/call' ? 10000 : 500, () => upstream.destroy())
}

function answer(request, response, begun) {
  const { pathname: path, searchParams } = new URL(request.url, 'http://a')
  const ms = Number(searchParams.get('ms'))
  const say = (status, body) => {
    const took = Number((process.hrtime.bigint() - begun) / 1000n)
    response.writeHead(status, { 'Content-Length': body.length, 'X-Took': took })
    response.end(body)
  }
  if (path === '/compute') { spin(ms); return say(200, 'ok') }
  if (path === '/sleep') return setTimeout(() => say(200, 'ok'), ms)
  if (path in UPSTREAM) return call(path, ms, status => say(status, 'ok'))
  if (path === '/big') return say(200, Buffer.alloc(Number(searchParams.get('bytes')), 'x'))
  if (path === '/unread') {
    say(200, Buffer.alloc(100000, 'x'))
    return request.socket.destroySoon()
  }
  if (path === '/stream') {
    let left = Number(searchParams.get('n'))
    response.write('.')
    const timer = setInterval(() => {
      response.write('.')
      if (--left === 0) { clearInterval(timer); response.end() }
    }, ms)
    return
  }
  if (path === '/split') {
    request.socket.setNoDelay(false)
    response.writeHead(200, { 'Content-Length': 2 })
    response.flushHeaders()
    return setImmediate(() => response.end('ok'))
  }
  return say(200, 'ok')
}

const server = http.createServer({ noDelay: true }, (request, response) => {
  const begun = process.hrtime.bigint()
  if (request.url.startsWith('/unread')) return answer(request, response, begun)
  request.resume()
  request.on('end', () => answer(request, response, begun))
})
server.keepAliveTimeout = Number(process.argv[3]) * 1000
server.listen({ port: Number(process.argv[2]), host: '0.0.0.0', backlog: 4096 })

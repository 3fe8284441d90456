import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Collections;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.AccessLogValve;

/**
 * Tomcat with one servlet for all paths, also in the context /shop: Show PORT DIRECTORY. It answers with what it has read of a
 * request, an empty line and the body; /redirect with a redirect, as Java programs write them, /session with a session, /parameters
 * with the parameter customer_id. Requests are written to DIRECTORY/requests.
 */
public class Show extends HttpServlet {
    public static void main(String[] arguments) throws Exception {
        var tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[1]);
        tomcat.setPort(Integer.parseInt(arguments[0]));
        var connector = tomcat.getConnector();
        connector.setProperty("address", "127.0.0.1");
        // As old applications want it, which have identifiers with slashes in their paths.
        connector.setEncodedSolidusHandling("decode");
        // As those want it that get their forms in Latin-1.
        connector.setUseBodyEncodingForURI(true);
        var log = new AccessLogValve();
        log.setDirectory(arguments[1]);
        log.setPrefix("requests");
        log.setSuffix("");
        log.setRotatable(false);
        log.setBuffered(false);
        log.setPattern("%r");
        tomcat.getHost().getPipeline().addValve(log);
        for (var path : new String[] {"", "/shop"}) {
            var context = tomcat.addContext(path, null);
            // The default of Tomcat 8 and before: absolute, made of the Host of the request.
            context.setUseRelativeRedirects(false);
            Tomcat.addServlet(context, "show", new Show());
            context.addServletMappingDecoded("/*", "show");
        }
        tomcat.start();
        tomcat.getServer().await();
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        var path = request.getPathInfo();
        if (path.endsWith("/redirect")) {
            response.sendRedirect("elsewhere");
            return;
        }
        response.setContentType("text/plain;charset=utf-8");
        var out = response.getWriter();
        if (path.endsWith("/session")) {
            var session = request.getSession();
            out.println("session=" + session.getId());
            out.println("is_new=" + session.isNew());
        }
        if (path.endsWith("/parameters")) {
            out.println("parameter=" + request.getParameter("customer_id"));
            for (var value : request.getParameterMap().getOrDefault("customer_id", new String[0])) {
                out.println("parameters=" + value);
            }
        }
        if (path.endsWith("/pieces")) {
            for (int piece = 0; piece < 3; piece++) {
                out.println("piece=" + piece);
                response.flushBuffer();
            }
        }
        out.println("path=" + path);
        out.println("uri=" + request.getRequestURI());
        out.println("user=" + request.getRemoteUser());
        out.println("one=" + request.getHeader("x-customer-ID"));
        for (var name : Collections.list(request.getHeaderNames())) {
            for (var value : Collections.list(request.getHeaders(name))) {
                out.println("header." + name + "=" + value);
            }
        }
        out.println();
        out.print(new String(request.getInputStream().readAllBytes()));
    }
}
